"""Who asks: client certificates, tokens, anonymous; and the authority and the key behind the first two.

Nothing here says what they may do: that is `cluster.api.authorization`.
"""
