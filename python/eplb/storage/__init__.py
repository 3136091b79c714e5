"""Bytes and files: decoding and encoding of tables, for untrusted files too. Knows no plan."""
