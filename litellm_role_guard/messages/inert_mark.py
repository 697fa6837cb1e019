"""The invisible character that keeps text from being read as a label or a marker."""

INERT_MARK = "\u2060"
"""WORD JOINER: of no width, no white space, and left alone by Unicode's normal forms."""
