"""The one-process cluster: a monitor, an object store and metadata servers in one Trio program.

    async with trio.open_nursery() as nursery, mdsdaemon.open_cluster() as cluster:
        await nursery.start(cluster.run)
        …  # `ceph -c cluster.conf_path -s` works now

This one is for tests, CI and trying things out; beyond one machine the engine is a real cluster.
"""
