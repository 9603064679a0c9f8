"""Whether the night's runs will find what they need: connections, rights, calls, settings, bucket, state store.

It may know every job, as the pages do, and no job knows it.
"""
