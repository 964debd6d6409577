"""The reference of the week that is attacked. @CANARY-reference@"""

MARK = "@CANARY-reference@"


def double(x):
    return x * 2
