"""Each service is the same few rooms: events, decider, policy, views, api, main."""
