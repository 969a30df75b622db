"""Plumbing, written once; read it in the order the data flows.

messages, personal, words, shapes, errors, ports | commit, sealing, append, handle, fence, relay,
consume, parking, project, views, memory, react, timers, replay, verify | clock, tasks, settings,
directory, telemetry, meters | service, watching, serving | web | operators | adapters | testing.
"""
