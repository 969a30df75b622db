"""One fold per question: may this go there, what did the family say, who waits, who is due.

`students`, `access`, `family`, `requests`, `children` and the clocks hold references, dates and
codes (names only sealed); `identity` opens names and birth dates and lives in memory only.
"""
