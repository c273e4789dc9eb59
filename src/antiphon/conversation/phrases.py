"""The small words that say where a reply can be cut, by language. Data for ``clauses``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseWords:
    """Lower-case words of one language."""

    abbreviations: frozenset[str] = frozenset()
    """Never end a sentence, without their last full stop: ``dr``, ``e.g``."""
    ending_abbreviations: frozenset[str] = frozenset()
    """May end one, if a capital follows: ``etc``, ``p.m``."""
    openers: frozenset[str] = frozenset()
    """What people say before a comma while they think; a clause by themselves."""
    boundaries: frozenset[str] = frozenset()
    """A phrase may be cut before these."""
    dangling: frozenset[str] = frozenset()
    """A phrase must not end with these."""
    ordinal_dot: bool = False
    """Whether ``3.`` is an ordinal, as in German."""


def _set(words: str) -> frozenset[str]:
    """Entries separated by spaces; underscores stand for spaces inside one."""
    return frozenset(word.replace("_", " ") for word in words.split())


_TITLES = _set(
    """
        mr mrs ms dr prof sr sra srta dra st gen col sgt capt lt rev hon vs e.g i.e cf al vol pp approx
        """
)

_EN = PhraseWords(
    abbreviations=_TITLES | _set("dept est mt ft jan feb apr jun jul aug sept oct nov dec viz"),
    ending_abbreviations=_set("etc fig figs a.m p.m inc ltd co corp jr ave blvd ph.d u.s u.k d.c"),
    openers=_set(
        """
        sure yes no okay ok well right absolutely certainly definitely exactly great good nice thanks sorry
        hello hi hey alright actually indeed yeah yep nope oh ah hmm so now first firstly unfortunately
        perfect done gladly please correct anyway honestly interesting welcome understood of_course
        no_problem all_right in_fact good_question great_question thank_you i'm_sorry i_see got_it
        my_pleasure you're_welcome good_morning good_evening good_afternoon not_really not_quite
        that's_right in_short for_example in_general at_first by_the_way oh_no oh_dear let's_see not_at_all
        sure_thing
        """
    ),
    boundaries=_set(
        """
        and but or so because although though while when where which who that if unless since until before
        after as than in on at for with from to into onto by about over under between through during without
        within across toward towards near like of is are was were has have had can could will would should
        may might must does did
        """
    ),
    dangling=_set(
        """
        a an the this that these those my your his her its our their some any every each no not very more
        most less so too and but or nor because although while when where which who whom whose if unless
        since until before after as than in on at for with from to into onto by about over under between
        through during without within across of off up out is are was were be been am has have had can could
        will would should may might must does do did i you he she it we they there i'm you're it's that's
        there's what how why mr mrs ms dr one two three four five six seven eight nine ten
        """
    ),
)

_ES = PhraseWords(
    abbreviations=_TITLES | _set("ud uds pág núm av aprox p.ej"),
    ending_abbreviations=_set("etc ee.uu a.m p.m"),
    openers=_set(
        """
        sí no claro bueno vale hola gracias perfecto exacto pues mira por_supuesto de_acuerdo lo_siento
        con_gusto
        """
    ),
    boundaries=_set(
        """
        y o pero porque aunque cuando donde que si en de a con para por sin sobre entre desde hasta es son
        fue está
        """
    ),
    dangling=_set(
        """
        el la los las un una unos unas mi tu su y o pero que en de del a al con para por sin sobre no es son
        muy más se
        """
    ),
)

_FR = PhraseWords(
    abbreviations=_TITLES | _set("m mm mme mlle av env ex p.ex"),
    ending_abbreviations=_set("etc"),
    openers=_set(
        """
        oui non bien bonjour merci salut parfait d'accord bien_sûr bon alors désolé avec_plaisir je_vois
        en_effet
        """
    ),
    boundaries=_set(
        """
        et ou mais parce quand où qui que si dans de à avec pour par sans sur entre depuis est sont
        """
    ),
    dangling=_set(
        """
        le la les l un une des du de mon ma mes ton ta votre et ou mais que qui dans à au aux avec pour par
        sur ne est très plus
        """
    ),
)

_DE = PhraseWords(
    abbreviations=_TITLES | _set("hr fr bzw ca nr str evtl inkl ggf z.b d.h u.a o.ä"),
    ending_abbreviations=_set("usw etc"),
    openers=_set("ja nein klar gut hallo danke genau gerne natürlich okay also nun leider tut_mir_leid"),
    boundaries=_set(
        """
        und oder aber weil wenn dass wo die in auf mit für von aus bei nach vor zu über unter zwischen ist
        sind
        """
    ),
    dangling=_set(
        """
        der die das den dem des ein eine einen einem einer mein dein und oder aber weil wenn dass in im auf
        mit für von vom zu zum zur ist sind sehr nicht
        """
    ),
    ordinal_dot=True,
)

_IT = PhraseWords(
    abbreviations=_TITLES | _set("sig dott pag ca"),
    ending_abbreviations=_set("ecc"),
    openers=_set("sì no certo bene ciao grazie perfetto esatto allora d'accordo mi_dispiace con_piacere"),
    boundaries=_set("e o ma perché quando dove che se in di a con per da su tra fra è sono"),
    dangling=_set(
        """
        il lo la i gli le un uno una e o ma che in di del della a al con per da dal su non è sono molto più
        """
    ),
)

_PT = PhraseWords(
    abbreviations=_TITLES | _set("pág núm av"),
    ending_abbreviations=_set("etc"),
    openers=_set(
        """
        sim não claro bem olá obrigado obrigada perfeito exato então certo com_certeza desculpe com_prazer
        """
    ),
    boundaries=_set("e ou mas porque quando onde que se em de a com para por sem sobre entre até é são"),
    dangling=_set("o a os as um uma e ou mas que em de do da no na ao à com para por não é são muito mais"),
)

_BY_LANGUAGE = {"en": _EN, "es": _ES, "fr": _FR, "de": _DE, "it": _IT, "pt": _PT}


@cache
def words_of(language: str) -> PhraseWords:
    """The words of a language (ISO 639-1). Unknown ones get only the titles and ``etc`` that travel."""
    code = language.lower().split("-")[0]
    if code in ("", "auto"):
        return _EN
    return _BY_LANGUAGE.get(code, PhraseWords(abbreviations=_TITLES, ending_abbreviations=_set("etc")))
