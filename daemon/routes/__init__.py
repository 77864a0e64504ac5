"""The Docker Engine API: one module a resource, with the views and filters that it needs."""
