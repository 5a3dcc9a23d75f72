"""What the processes of one installation share, in Valkey or Redis: never the truth, and nothing that can't be missed.

Everything here may be lost, late, moved or forged at any moment. Callers go on alone after ValkeyAway.
"""
