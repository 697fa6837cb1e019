"""Requests to a proxy or a vLLM: bounded, tried again, never asked twice once answered.

request.py     a request and its answer
retries.py     which failures are tried again, and when
pace.py        how many may be under way, fewer while the server sheds load
target.py      where requests go: over HTTP, as they are
guarded.py     straight to a vLLM: repaired by the guard itself
dispatcher.py  all requests, as many at once as the pace allows
"""
