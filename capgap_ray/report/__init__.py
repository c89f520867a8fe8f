"""The report: `Results` in, strings out. No Ray, no disk, no clock.

`formats` prints numbers, `findings` computes what several parts show, `tables` gives every table as text,
`figures` draws inline SVG, and `page` puts all of it into one static HTML page.
"""
