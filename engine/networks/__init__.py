"""Networks: what a prior may be made of. One kind a file.

A network is called with fields and their noise levels, network(c_in x, c_noise, *condition), and says a
field of the same shape; `engine.denoise.Karras` makes a denoiser of it. Its settings are the arguments it
is made with, plain numbers and words, so that they can be kept beside its weights.
"""
