"""The bench's arithmetic and its page, on figures that are given."""
