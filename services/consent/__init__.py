"""Who may decide for this student, and what may be shared with whom, until when."""
