"""What `panel serve app` reads before it starts: the page's files are routes of the server too."""

from bokeh.server.urls import toplevel_patterns

from app.delivery import ROUTES

toplevel_patterns += [route for route in ROUTES if route not in toplevel_patterns]
