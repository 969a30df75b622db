"""What an operator asks of a log and its read models: look, mend, build again, set aside.

console, operate | fsck, compare, recover | tending, rebuilding, parked, retrying, upkeep.
"""
