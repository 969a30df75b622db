"""One fold per question: who waits where, what happened, what is due, what the family allowed.

Queues, inbox and waits hold references, dates and codes only; `lines` and `students` hold sealed
words as they were sealed, to be opened at the edge for who may read them.
"""
