"""Takes a roster file into the log: one commit for each student, through the ordinary appender.

record decides about an import's own stream (pure); plan makes commands of a roster (pure); judging
reads a file and stores nothing; asking asks about one student; ahead takes the new ones of a large
file by what drafting, a process of its own, has decided for them; taking runs the whole; progress
is what can be told meanwhile; routes are the way in.
"""
