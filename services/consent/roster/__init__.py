"""A OneRoster zip becomes students with guardians, or a report of what is wrong with it. Pure.

Read in the order the data flows: archive (bytes to lines), table (lines to fields), manifest, roles
and people (fields to persons), students (persons to students with guardians), guard (who would be
gone). All of them write into findings, the report.
"""
