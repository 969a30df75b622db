"""The edge: requests come in as orders and questions, answers go out as views and problems.

edge, wellformed, http, answering, problems, openapi, application | auth, issuer, stepping | client.
"""
