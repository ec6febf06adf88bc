"""What `panel serve app` runs, once a session. Its globals die with the session, so it keeps none."""

from app.page import make

make().servable()
