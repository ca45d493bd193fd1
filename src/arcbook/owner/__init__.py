"""The side that decides and commits: drive loop, commands, timers, snapshots."""
