# Read by IPython when it starts (tools/kernel_sets.py): 0.5 is printed as 0.5, not as np.float64(0.5).
__import__("numpy").set_printoptions(legacy="1.25")
