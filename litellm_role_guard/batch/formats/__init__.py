"""Files of conversations: JSON Lines of several kinds, CSV, Parquet, plain text.

json_text.py     JSON with its line and column where it is none
source.py        a file as rows, whatever it is packed in
tables.py        CSV and Parquet as rows
request.py       what a row asks for
line_formats.py  the kinds of rows, and how each is read and written
sharegpt.py      one of them, with roles of its own
reader.py        a file as requests
"""
