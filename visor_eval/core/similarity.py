"""placeholder"""
def received_attention(q,k,scale): raise NotImplementedError
