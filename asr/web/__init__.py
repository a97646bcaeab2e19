"""The files of the page at `GET /`, as browsers get them."""
