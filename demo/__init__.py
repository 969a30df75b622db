"""A synthetic district, played over HTTP as a client would."""
