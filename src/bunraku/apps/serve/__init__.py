"""`bunraku serve`: animations over HTTP.

settings   what the server grants, and to whom
store      files and jobs, in SQLite, so that nothing is lost or done twice whenever the server is killed
worker     the process in which a job runs
runner     gives jobs to workers, and kills them
requests   what is asked and answered, made of `AnimateOptions`
metrics    what a monitor asks
service    what the routes do
routes     the routes
app        all of it, as an ASGI application
"""
