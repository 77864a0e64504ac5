"""The Docker Engine API: a module for each resource, beside it the views and filters that it needs."""
