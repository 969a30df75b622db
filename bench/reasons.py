"""What stands in the way of a goal, by row: told on the page for as long as the row is missed.

No figures: those are in the page's own tables, measured in the same run.
"""

REASONS = {
    "B1": (
        "Python's own part of a command (the table of steps: sealing, naming, writing, placing, "
        "and the waking of its caller) costs more than twice what SQLite's does for the same row, "
        "and is one interpreter's work. Writing runs beside it: what is left is deciding."
    ),
    "B2": (
        "The raw group commit, which decides and seals nothing, is itself far from 25 times the "
        "default and not twice the 8 asked for over the best recipe: a synced commit costs these "
        "libraries little on this machine. The rest follows B1."
    ),
    "B3": (
        "A lone command waits for one synced write, and so does the raw driver, which is no "
        "faster than the other library either. Ours also hands it to a thread of its own and "
        "back, so that a slow disk never stops those who only read; beside that wait there is "
        "little to save."
    ),
    "B4": (
        "Callers who wait together are decided one after the other: the last of 64 waits for the "
        "deciding of all. It follows B1."
    ),
    "B5": (
        "Our route checks a token, a role, a command id and the rules, seals, and waits for the "
        "disk; each of these is some ten microseconds of Python beside a framework's whole "
        "request."
    ),
    "B6": (
        "One command changes about six documents, and all of it (edge, rules, log, read models, "
        "policies of two services) is one process and one interpreter here, with the load's own "
        "client on the other core. A third of it is the edge with the rules, a quarter each are "
        "the read models with the policies and SQLite's threads; no part is large. At this rate "
        "that interpreter is nearly full, so that a command may wait for many others. Services "
        "apart, each with its own interpreter, divide it."
    ),
    "B7": (
        "The other library's recipe reads a third of the bytes, neither chained nor sealed, in "
        "one native call. Hashing a commit and finding its parts costs as much before its event "
        "is looked at."
    ),
    "B8": (
        "A rebuild reads, checks the chain, decodes and folds as a replay does, and keeps for each "
        "document the positions that it has seen. The bare fold of the same events, which does "
        "none of this but decoding, is itself far from twenty times the follower."
    ),
    "B9": (
        "The raw producer sends records that were made beforehand, and the raw reader hands over "
        "records that nobody has looked at. Relaying one reads and parses a commit; a reader "
        "parses, hashes, decodes and folds it, each of which (the table of steps) costs as much as "
        "the client's whole work for it. A loop by hand that does the same reaches about a fifth "
        "of bare consuming: that is the limit of one interpreter."
    ),
    "B10": (
        "Between the two ends lie a synced append, the relay's wake, a look at what is parked, a "
        "document read and a document written, each a hand-over to a thread and back; a bare round "
        "trip has none of these, and takes less time than two of them."
    ),
    "B11": (
        "The server and its driver share two cores, and the driver computes in the interpreter "
        "that also decides and seals. Two groups at a time cost more than one: each insert has its "
        "price."
    ),
    "B12": (
        "Asked about students in no order, a decision finds little in the processor's caches: most "
        "of it is waiting for memory. A fiftieth of one HTTP hop is the time of a few such "
        "look-ups, without any rule."
    ),
    "B13": (
        "Each command goes to a stream of its own that has to be read first, and every index but "
        "one is written at a place drawn at random: what the cache of pages does not hold is read "
        "from the file."
    ),
    "B14": (
        "Every core reads, parses, hashes and judges; what is left is the number of cores, and "
        "that native calls do half of the work already."
    ),
    "roster": (
        "A student is a commit with nine sealed fields, and five documents in the read models. A "
        "second process seals and decides, and has as much to do as this one, which reads the file "
        "first and then makes keys, appends, and opens names for the search. Until all are stored "
        "both cores are nearly full; until all are seen, this process's interpreter is."
    ),
}
