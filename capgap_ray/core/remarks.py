"""What may follow an answer: checks, remarks, other forms of the value, offers, what would otherwise be the case.

None of it is the answer, whatever numbers it holds. The patterns are matched where a sentence or a line begins.
"""

from __future__ import annotations

import re

_CHECKING = (
    r"(?:(?:step [0-9]+[:.]|so|now|and|we|i|you|to|can|will|i['’]ll|also|just|let|me|let['’]s|us|should|quick|as|an?"
    r"|the|my|another|one|readily|easily|is|for|here(?:['’]s)?|it) ){0,6}"
    r"(?:double[- ]?check|check|verif|confirm(?! that\b)|sanity|reality|proof|(?:make|be) sure|calculator"
    r"|substituting [a-z ]{0,40}back|plugging [a-z ]{0,40}back|(?:this|that) (?:right|correct)\b)"
)
_TOPIC = (
    r"(?:(?:(?:some|a few|one (?:more|last|final)) )?(?:remarks?|comments?|test points)"
    r"|(?:a few |some |a )?notes? on|fun fact|(?:quick |pro )?tips?(?!:? [\\$]*[0-9])|p\.?s\b"
    r"|key (?:takeaways?|points?|ideas?)|common (?:mistake|error|pitfall)s?|intuition|intuitively|generali[sz]ations?"
    r"|where (?:this|the) [a-z ]{1,40} comes? from|does (?:that|this) make sense|it may be worthwhile"
    r"|(?:an )?alternative(?:ly| (?:via|method|solution|approach))|one more check|let me also"
    r"|(?:we|you|one) (?:could|can|may|might) also"
    r"|(?:to |quick )?recap|summary (?:of|table)|here(?:['’]s| is) the same|confidence|score:|teacher['’]s comment"
    r"|other \w+|(?:as for|concerning|about) the other|for (?:other|readers|comparison|reference|context)|related"
    r"|(?:(?:possible|some) )?follow-?ups?|practice|challenge|exercise|extension|bonus|try it yourself|in the next"
    r"|(?:do not|don['’]t|never) forget|converting back|partial sums|in (?:degrees|radians|decimals|practical terms)"
    r"|if you (?:prefer|like)\b|if you(?:['’]d like| want) to practice|frequently asked|thanks? for"
    r"|(?:(?:here(?:['’]s| is) )?a )?similar(?: (?:problem|question|exercise)s?)?)"
)
"""What a text turns to after its answer."""
SECTION = re.compile(
    rf"\n[#*_ \t]*(?:{_TOPIC}|verification|verify"
    r"|(?:let['’]?s )?(?:quick |double[- ]?|sanity |plausibility )?check(?:ing|s)?(?! (?:each|every|the options|all)\b)"
    r"|notes?|explanation|reason(?:ing)?|justification|breakdown"
    r"|(?:here(?:['’]s| is) )?(?:why|how|(?:the|my|an?) (?:more )?(?:detailed |full |step-by-step )?"
    r"(?:working|reasoning|maths?|steps|calculations?|explanation|derivation)))"
    r"\b[^\n]{0,40}(?:[:\n]|\*\*)"
    r"|\n(?:here(?:['’]s| is) why\. |to see (?:why|this)\b|[*_]{1,2}why\?[*_]{0,2}\s)",
    re.IGNORECASE,
)
"""The heading of what comes after the answer."""
CONCLUDES_LATER = re.compile(
    r"\n[*_# ]*(?:so|thus|hence|therefore|conclusion|verdict|(?:final )?answer|result)\b"
    r"|\n[^\n]*\b(?:(?:is|are|has|have) (?:thus|hence|therefore)|(?:the|my|our) (?:final )?answer)\b",
    re.IGNORECASE,
)
_SO_IT_IS_RIGHT = r".*[0-9] so (?:this|that|it) is (?:right|correct)\W*$"
LEAVES = re.compile(
    rf"\W*(?:{_CHECKING}|{_TOPIC}\b|indeed, |(?:we|you|one) (?:could|can|may|might)\b[^:]*\b(?:too|as well)\b)"
    r"|.*\b(?:which|this|that) (?:confirms|checks|matches|agrees|verifies)\b"
    r"|.*\bcan be (?:checked|verified|confirmed)\b"
    rf"|{_SO_IT_IS_RIGHT}",
    re.IGNORECASE,
)
"""How a sentence begins after which a text says nothing new of its answer: a check, or another topic."""
CHECK = re.compile(
    rf"[*_#\s>(-]*(?:{_CHECKING}|note|remark:"
    r"|(?:this|which) (?:is (?:achieved|attained)|occurs|happens|completes|confirms|agrees with|verifies"
    r"|matches(?! \(| option))"
    r"|(?:i )?hope|let me know|feel free|[\w ]{1,40} can be (?:checked|verified|confirmed)\b"
    r"|if you (?:have|need|prefer|would)|please (?:let|feel)|(?:correct|indeed|perfect|great|done)\b(?=[.!])"
    r"|[—–~]\s?[A-Z][^0-9]*$|(?:source|reference)s?:|that(?:'s| is) enough\b"
    r"|another way\b|expanding (?:to check|back)\b|i got (?:this|that|it) (?:by|from)\b|i(?:['’]ve| have)? counted\b"
    r"|yes(?:, (?:this|that|it)\b[^0-9]*)?[.!]|as a (?:check|test)\b|for (?:example|instance|comparison)\b"
    r"|numerically\b|i(?:['’]m| am) (?:\w+ )?(?:confident|sure|certain)\b(?!(?: now)? that\b.* (?:is|are) .*[0-9])"
    r"|(?:that|this|which|it) (?:makes sense(?! to\b)"
    r"|(?:should be|looks|seems) (?:right|correct|good|reasonable|fine))\b"
    r"|(?:all|both|the)(?: of them| \w+)?(?: \w+)? "
    r"(?:are (?:nonzero|positive|valid|admissible)|agree(?! that)|satisfy"
    r"|match(?! (?:is|would|among|for|of|in|to)\b)|works?)\b(?![^.]*, so (?:the |\$))"
    r"|(?:which|where)\b[^0-9]*$|not (?:too |so )?bad\b"
    r"|\$?\\(?:blacksquare|square|qed)|q\.?e\.?d)",
    re.IGNORECASE,
)
"""A sentence that says nothing of the answer."""
WISH = re.compile(r"(?![^!]*\b(?:yes|no|true|false|valid|invalid)\b)[^0-9()*$\\]*!", re.IGNORECASE)
TO_THE_READER = re.compile(r"\b(?:you|your|make sense|anything else|right|okay|clear)\b[^?]*\?$", re.IGNORECASE)
"""A question that offers help or asks for assent; any other question at the end leaves the answer open."""
BESIDE = re.compile(
    r"^(?:the(?! (?:most|best|closest|answer|correct)\b)|this|that|it)\b(?![^.]*=)(?!.*, so (?:that|this|it) would be)"
    r"[^.]*\bwould (?:only |otherwise )?(?:be|have)\b"
    r"|^if\b(?!.*, but )(?!we\b.*, so ).*(?:\bwould\b|['’]d\b)"
    r"|.*\b(?:question|problem) (?:does not|doesn['’]t) ask\b"
    r"|(?!.*, so ).*, but the (?:question|problem) (?:was|is) (?:only )?about\b"
    r"|^this is the (?:line|circle|plane|parabola|curve|function|polynomial)\b[^.=]*\W*$"
    r"|^this is the [^.]{1,60} (?:that )?the (?:question|problem) asked for\W*$"
    r"|.*,? as the (?:problem|question) (?:says|states|said|stated|requires)\W*$"
    r"|^equality (?:is|holds|occurs)\b(?!.*\bso )|.*\b(?:al)?though the (?:question|problem) (?:only )?asks\b"
    rf"|{_SO_IT_IS_RIGHT}|^since the (?:question|problem) (?:only )?asks\b[^0-9]*$"
    r"|^its graph is\b|^of (?:this|that|these),? \\?\$?[0-9]"
    r"|^if\b[^.]*\blet me know\b"
    r"|^their (?:sum|product|average|difference)\b|^(?:both|neither|no|the) endpoints? (?:is|are)\b"
    r"|^(?:disregarding|ignoring|without|not counting)\b.*\bwould\b"
    r"|.*, as (?:it|they|that) should(?: be)?\W*$"
    r"|.*(?:\bnot|n['’]t) (?:be )?(?:counted|included|relevant)\W*$"
    r"|^(?:for|since|when|at|if|this|indeed)\b.*,? as (?:we )?(?:expect(?:ed)?|needed|required|wanted|desired)\W*$",
    re.IGNORECASE,
)
"""What would be the case otherwise, and checks that end in "as needed"."""

ASIDE = re.compile(
    r"\W*(?:note|notice|please note|remember|remark|keep in mind|be careful|if|had|otherwise|incidentally|by the way"
    r"|p\.?s\b|fun fact|(?:quick )?recap|score:|step [0-9]+: (?:done|none|check)|(?:as )?an? (?:spot|quick)"
    r"|(?:the |here is the )?(?:full |complete )?list\b|to give you|just to be safe|another|an alternative"
    r"|alternatively"
    r"|(?:some|many|most|a lot of) (?:people|students|of)|one (?:might|may) wonder|you can (?:also )?approximate"
    r"|it(?:['’]s| is) (?:worth|interesting|important to (?:note|remember)|a common (?:mistake|error)|a coincidence"
    r"|no coincidence)|as a by-?product"
    r"|including|excluding"
    r"|in (?:this|the above) (?:problem|solution)|in case|in degrees|in (?:decimals?|decimal form|reality)"
    r"|in [0-9]+ (?:years|days|months|hours)(?!, (?:he|she|they|you)(?:['’]ll| will)\b)"
    r"|as a (?:decimal|percent|mixed|side)|both (?:ways|methods|sides)(?!.*, so )"
    r"|for (?:those|the curious|reference|comparison|example|instance|the record)"
    r"|compared (?:with|to)(?!.*(?:, so | overall\W*$))"
    r"|(?:at|during|in) (?:that|this) (?:point|time|moment|period|case)\b"
    r"|(?:at|with) (?:this|that|the same) (?:pace|rate|speed|price|value)\b"
    r"|(?:i|we)(?:['’]ve)? (?:had|could|used|also|never|did(?:n['’]t| not))\b|i [a-z]+ed\b(?!.*(?:=|to get))|\([A-Za-z]"
    r"|(?:that|this) amounts to\b"
    r"|(?:that|this)(?:['’]s| is) an? (?:saving|discount|reduction) of\b.* (?:compared|from|off|on)\b"
    r"|(?:that|this)(?:['’]s| is) (?:the same as|equivalent to|about|around|roughly|approximately|one hour"
    r"|[$€£]?[0-9][0-9.,]* (?:\w+ )?(?:more|less|fewer|higher|lower|above|below)\b)"
    r"|this (?:kind|type|is (?:because|since|why|possible)|means it|matches|agrees|works|follows))"
    r"|.*\bin case you\b|"
    r"(?!.*[0-9] = .*, so |since\b.*, (?:he|she|they|it|we|you) (?:has|have|must|needs?)\b"
    r"|.*, so (?:that|this|it) would be|adding\b|after\b[^,]*, |.*\bin total\b)"
    r".*(?:\bwould\b|['’]d\b(?! better))"
    r"|(?!.*[0-9)]\s*=)(?:\W*(?:and )?(?:of (?:these|them|those)|the (?:other|remaining|rest|others))\b|\(.*\)$)",
    re.IGNORECASE,
)
"""A sentence with numbers that may follow an answer: a remark, another form, what would be the case, what is left."""
