"""Plumbing, written once; read it in the order the data flows.

messages, shapes, errors, ports | commit, sealing, append, handle, relay, project, react, replay |
http, auth, issuer, clock, tasks, settings, telemetry, testing | adapters.
"""
