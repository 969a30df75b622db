"""Plumbing, written once; read it in the order the data flows.

messages, personal, shapes, errors, ports | commit, sealing, append, handle, fence, relay, consume,
project, views, memory, react, timers, replay, verify | http, edge, wellformed, problems, answering,
openapi, application, auth, issuer, clock, stepping, tasks, settings, telemetry, meters | service,
watching, serving | console, operate, compare, fsck, recover | directory, client, testing |
adapters.
"""
