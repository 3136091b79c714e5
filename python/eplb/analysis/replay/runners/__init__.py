"""Where cells run: in this process, in several processes, or on a Ray cluster.

Each runner takes the same cells and gives the same rows, but for times. Cells end in any order.
"""
