"""The service's own dialect of jobs: `/jobs`."""
