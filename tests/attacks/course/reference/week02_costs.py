"""The reference of the week whose costs are attacked. @CANARY-reference@"""

MARK = "@CANARY-reference@"


def gram(x):
    return x @ x.T
