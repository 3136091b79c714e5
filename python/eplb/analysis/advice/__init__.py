"""Advice: how many redundant slots to take, on how many GPUs, by what each reaches on a trace.

A *point* is one number of redundant slots on one number of GPUs: a cell of a replay. The points of one
number of GPUs are a *curve*, and the point of it to take is its *knee*.
"""
