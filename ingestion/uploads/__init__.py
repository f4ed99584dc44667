"""
Uploads: bytes on their way into storage.

    storage      where segments lie: the file system or S3, through Django's storage API
    segments     writing them one after another, durable before anybody is told so
    reading      reading an upload as if it were one file, from any process
    services     rows: creating, fencing writers, storing, finishing, concatenating, terminating
    receiving    the bytes of one request into segments, until it ends, is cut off or has to let go
    pruning      what is expired or was left behind by a crash
"""
