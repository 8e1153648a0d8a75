"""What a terminal sends for a key: the bytes in hex, and what they are shown as.

Where one sequence begins with another the longer stands first.
"""

from __future__ import annotations

from functools import cache
from typing import Final

_KEYS: Final = """
    01=^A 02=^B 03=^C 04=^D 05=^E 06=^F 07=^G 08=backspace 09=tab 0a=nl 0b=^K 0c=^L 0d=ret 0e=^N
    0f=^O 10=^P 11=^Q 12=^R 13=^S 14=^T 15=^U 16=^V 17=^W 18=^X 19=^Y 1a=^Z 7f=backspace
    1b5b31313b327e=F13 1b5b31313b337e=F49 1b5b31313b347e=F61 1b5b31313b357e=F25
    1b5b31313b367e=F37 1b5b31323b327e=F14 1b5b31323b337e=F50 1b5b31323b347e=F62
    1b5b31323b357e=F26 1b5b31323b367e=F38 1b5b31333b327e=F15 1b5b31333b337e=F51
    1b5b31333b347e=F63 1b5b31333b357e=F27 1b5b31333b367e=F39 1b5b31343b327e=F16
    1b5b31343b337e=F52 1b5b31343b357e=F28 1b5b31343b367e=F40 1b5b31353b327e=F17
    1b5b31353b337e=F53 1b5b31353b357e=F29 1b5b31353b367e=F41 1b5b31373b327e=F18
    1b5b31373b337e=F54 1b5b31373b357e=F30 1b5b31373b367e=F42 1b5b31383b327e=F19
    1b5b31383b337e=F55 1b5b31383b357e=F31 1b5b31383b367e=F43 1b5b31393b327e=F20
    1b5b31393b337e=F56 1b5b31393b357e=F32 1b5b31393b367e=F44 1b5b32303b327e=F21
    1b5b32303b337e=F57 1b5b32303b357e=F33 1b5b32303b367e=F45 1b5b32313b327e=F22
    1b5b32313b337e=F58 1b5b32313b357e=F34 1b5b32313b367e=F46 1b5b32333b327e=F23
    1b5b32333b337e=F59 1b5b32333b357e=F35 1b5b32333b367e=F47 1b5b32343b327e=F24
    1b5b32343b337e=F60 1b5b32343b357e=F36 1b5b32343b367e=F48 1b4f313b3241=scroll-backward
    1b4f313b3242=scroll-forward 1b4f313b3243=shift-right 1b4f313b3244=shift-left
    1b5b3139327a=F11 1b5b3139337a=resume 1b5b3139347a=options 1b5b3139357a=undo
    1b5b3139367a=help 1b5b3139377a=copy 1b5b3139387a=F17 1b5b3139397a=F18
    1b5b313b3241=scroll-backward 1b5b313b3242=scroll-forward 1b5b313b3243=shift-right
    1b5b313b3244=shift-left 1b5b313b3246=shift-end 1b5b313b3248=shift-home 1b5b3230307a=find
    1b5b3230317a=F20 1b5b3230387a=F31 1b5b3230397a=F32 1b5b3231307a=F33 1b5b3231317a=F34
    1b5b3231327a=F35 1b5b3231337a=F36 1b5b3231347a=home 1b5b3231357a=F38 1b5b3231367a=page-up
    1b5b3231377a=F40 1b5b3231387a=B2 1b5b3231397a=F42 1b5b3232307a=end 1b5b3232317a=F44
    1b5b3232327a=page-down 1b5b3232347a=F1 1b5b3232357a=F2 1b5b3232367a=F3 1b5b3232377a=F4
    1b5b3232387a=F5 1b5b3232397a=F6 1b5b3233307a=F7 1b5b3233317a=F8 1b5b3233327a=F9
    1b5b3233337a=F10 1b5b3233347a=F11 1b5b3233357a=F12 1b5b323b327e=shift-insert
    1b5b323b357e=shift-insert 1b5b333b327e=shift-del 1b5b333b357e=shift-del
    1b5b353b327e=shift-previous 1b5b353b357e=shift-previous 1b5b363b327e=shift-next
    1b5b363b357e=shift-next 1b5b31315e=F23 1b5b31317e=F1 1b5b31325e=F24 1b5b31327e=F2
    1b5b31335e=F25 1b5b31337e=F3 1b5b31345e=F26 1b5b31347e=F4 1b5b31355e=F27 1b5b31357e=F5
    1b5b31375e=F28 1b5b31377e=F6 1b5b31385e=F29 1b5b31387e=F7 1b5b31395e=F30 1b5b31397e=F8
    1b5b32305e=F31 1b5b32307e=F9 1b5b32315e=F32 1b5b32317e=F10 1b5b323324=F21 1b5b323340=F43
    1b5b32335e=F33 1b5b32337e=F11 1b5b323424=F22 1b5b323440=F44 1b5b32345e=F34 1b5b32347e=F12
    1b5b32355e=F35 1b5b32357e=F13 1b5b32365e=F36 1b5b32367e=F14 1b5b32385e=F37 1b5b32387e=F15
    1b5b32395e=F38 1b5b32397e=F16 1b5b33307e=insert-line 1b5b33315e=F39 1b5b33317e=F17
    1b5b33325e=F40 1b5b33327e=F18 1b5b33335e=F41 1b5b33337e=F19 1b5b33345e=F42 1b5b33347e=F20
    1b4f3241=scroll-backward 1b4f3242=scroll-forward 1b4f3243=shift-right 1b4f3244=shift-left
    1b4f3250=F13 1b4f3251=F14 1b4f3252=F15 1b4f3253=F16 1b4f3350=F49 1b4f3351=F50 1b4f3352=F51
    1b4f3353=F52 1b4f3450=F61 1b4f3451=F62 1b4f3452=F63 1b4f3543=shift-right 1b4f3544=shift-left
    1b4f3546=shift-end 1b4f3548=shift-home 1b4f3550=F25 1b4f3551=F26 1b4f3552=F27 1b4f3553=F28
    1b4f3650=F37 1b4f3651=F38 1b4f3652=F39 1b4f3653=F40 1b5b317e=home 1b5b3224=shift-insert
    1b5b327a=insert 1b5b327e=insert 1b5b3324=shift-del 1b5b337a=delete 1b5b337e=delete
    1b5b347e=end 1b5b3524=shift-previous 1b5b357e=page-up 1b5b3624=shift-next 1b5b367e=page-down
    1b5b3724=shift-home 1b5b377e=home 1b5b3824=shift-end 1b5b385e=delete-eol 1b5b387e=end
    1b5b3e4d=mouse 1b5b5b41=F1 1b5b5b42=F2 1b5b5b43=F3 1b5b5b44=F4 1b5b5b45=F5 9b31317e=F1
    9b31327e=F2 9b31337e=F3 9b31347e=F4 9b31357e=F5 9b31377e=F6 9b31387e=F7 9b31397e=F8
    9b32307e=F9 9b32317e=F10 9b32337e=F11 9b32347e=F12 9b32357e=F13 9b32367e=F14 9b32387e=F15
    9b32397e=F16 9b33317e=F17 9b33327e=F18 9b33337e=F19 9b33347e=F20 1b3224=shift-insert
    1b4f41=up 1b4f42=down 1b4f43=right 1b4f44=left 1b4f45=B2 1b4f46=end 1b4f48=home 1b4f4d=send
    1b4f50=F1 1b4f51=F2 1b4f52=F3 1b4f53=F4 1b4f54=F5 1b4f55=F6 1b4f56=F7 1b4f57=F8 1b4f58=F9
    1b4f59=F10 1b4f5a=F11 1b4f5b=F12 1b4f6c=F8 1b4f6e=C3 1b4f70=C1 1b4f71=C1 1b4f72=B2 1b4f73=C3
    1b4f74=F5 1b4f75=B2 1b4f76=F7 1b4f77=A1 1b4f78=F10 1b4f79=A3 1b5b39=delete 1b5b40=F41
    1b5b41=up 1b5b42=down 1b5b43=right 1b5b44=left 1b5b45=B2 1b5b46=end 1b5b47=B2 1b5b48=home
    1b5b49=page-up 1b5b4c=insert 1b5b4d=mouse 1b5b4e=F2 1b5b4f=F3 1b5b50=F4 1b5b51=F5 1b5b52=F6
    1b5b53=F7 1b5b54=F8 1b5b55=F9 1b5b56=F10 1b5b57=F11 1b5b58=F12 1b5b59=F13 1b5b5a=back-tab
    1b5b5b=F42 1b5b5c=F43 1b5b5d=F44 1b5b5e=F45 1b5b5f=F46 1b5b60=F47 1b5b61=F15 1b5b62=F16
    1b5b63=shift-right 1b5b64=shift-left 1b5b65=F19 1b5b66=F20 1b5b67=F21 1b5b68=F22 1b5b69=F23
    1b5b6a=F24 1b5b6b=F25 1b5b6c=F26 1b5b6d=F27 1b5b6e=F28 1b5b6f=F29 1b5b70=F30 1b5b71=F31
    1b5b72=F32 1b5b73=F33 1b5b74=F34 1b5b75=F35 1b5b76=F36 1b5b77=F37 1b5b78=F38 1b5b79=F39
    1b5b7a=F40 1b5b7b=F48 9b317e=home 9b327e=insert 9b337e=delete 9b347e=end 9b357e=page-up
    9b367e=page-down 1b41=up 1b42=down 1b43=right 1b44=left 1b46=end 1b4a=clear 1b50=delete
    1b51=insert 1b53=page-down 1b54=page-up 1b68=home 1b70=F1 1b71=F2 1b72=F3 1b73=F4 1b74=F5
    1b75=F6 1b76=F7 1b77=F8 1b09=back-tab 8f41=up 8f42=down 8f43=right 8f44=left 8f45=begin
    8f4d=send 8f71=C1 8f73=C3 8f75=A3 8f77=A1 8f79=B2 9b4d=mouse 9b5a=back-tab 1b=esc
"""


@cache
def keys() -> dict[bytes, bytes]:
    """Return bytes to name, in the order in which they are to be tried."""
    pairs = (word.split("=") for word in _KEYS.split())
    return {bytes.fromhex(sent): name.encode("ascii") for sent, name in pairs}
