"""Who looks on: each module shows a performance in one form."""
