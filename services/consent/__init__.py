"""Who may decide for a student, and what may be shared with whom, until when."""
