"""Formats and streams put into words: tables for documents, summaries of records, annotated dumps.

``records`` says in a line what a record carries, ``hexdump`` shows its bytes beside the schema's fields, ``reference``
writes the reference of all formats.  Nothing here prints: the commands do.
"""
