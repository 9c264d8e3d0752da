"""GNU Health 5 on Tryton 7.0, as an adapter. See DIVERGENCES.md for what it cannot do."""
