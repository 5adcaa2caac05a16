"""Plugins of the Container Network Interface: their configuration, how they are run, what they answer.

Source: CNI specification 1.1.0, https://github.com/containernetworking/cni/blob/main/SPEC.md
"""
