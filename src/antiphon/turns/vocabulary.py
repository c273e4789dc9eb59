"""The words that tell whether a turn is over, by language. Data for ``words`` and ``backchannel``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

Phrases = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Lower-case words of one language, without punctuation. Phrases are tuples of words."""

    fillers: frozenset[str] = frozenset()
    """Said while thinking; they carry no meaning."""
    determiners: frozenset[str] = frozenset()
    """Articles, possessives and the like: a noun must follow."""
    conjunctions: frozenset[str] = frozenset()
    """A clause must follow."""
    prepositions: frozenset[str] = frozenset()
    """An object must follow, but in a question ("Where are you from?")."""
    copulas: frozenset[str] = frozenset()
    """``is`` and such: something follows, but after a pronoun or in a question ("I know what it is")."""
    pronouns: frozenset[str] = frozenset()
    question_words: frozenset[str] = frozenset()
    open_phrases: Phrases = ()
    """Endings that announce more, whatever the punctuation: "can you tell me"."""
    asked_phrases: Phrases = ()
    """Endings that announce more unless they are asked: "how many"."""
    whole_turns: frozenset[str] = frozenset()
    """Turns that stand by themselves: answers and commands."""
    thanks: frozenset[str] = frozenset()
    digits: frozenset[str] = frozenset()
    """Names of the digits, as dictated."""
    tens: frozenset[str] = frozenset()
    """Names of larger numbers that occur in dictated ones."""
    number_words: frozenset[str] = frozenset()
    """Announce a number that is read out."""
    mail_words: frozenset[str] = frozenset()
    at_signs: frozenset[str] = frozenset()
    dots: frozenset[str] = frozenset()
    spelling_words: frozenset[str] = frozenset()
    address_words: frozenset[str] = frozenset()
    """Announce a street address."""
    backchannels: frozenset[str] = frozenset()
    """Words of listeners: "I am with you, go on"."""
    assents: frozenset[str] = frozenset()
    """Backchannels that also answer a yes-or-no question."""


def word_set(words: str) -> frozenset[str]:
    """A set of entries separated by spaces; underscores stand for spaces inside one."""
    return frozenset(word.replace("_", " ") for word in words.split())


def _phrases(words: str) -> Phrases:
    return tuple(tuple(phrase.split("_")) for phrase in words.split())


_EN = Vocabulary(
    fillers=word_set("um uh uhm erm er hmm mm ah eh uhh umm"),
    determiners=word_set(
        """
        a an the my your his its our their every another these i'm i'd i'll i've we're we'll they're
        you're let's very per
        """
    ),
    conjunctions=word_set("and but or nor because although if unless whether whose than as until"),
    prepositions=word_set(
        """
        of to for from with at into onto like about between during without within toward towards among
        upon via regarding where when which who how
        """
    ),
    copulas=word_set("is are was were am be will would should must might could can may has had"),
    pronouns=word_set("it that he she this they you we there i who what those these one"),
    question_words=word_set("what where when who whom which why how whose"),
    open_phrases=_phrases(
        """
        can_you_tell_me could_you_tell_me can_you could_you would_you will_you could_you_please
        can_you_please do_you_know i_was_wondering i_wonder i_think i_mean you_know i_want i_need i_have
        i_would_like i'd_like i_want_to and_then for_example such_as kind_of sort_of a_lot_of let_me_see
        let_me_think hold_on one_moment one_second just_a_second just_a_moment wait_a_minute
        give_me_a_second give_me_a_moment the_thing_is would_you_mind remind_me tell_me_what
        tell_me_about tell_me_how so_i in_order
        """
    ),
    asked_phrases=_phrases("how_many how_much what_kind which_one"),
    whole_turns=word_set(
        """
        yes no yeah yep nope yup okay ok sure stop cancel continue next thanks hello hi hey goodbye bye
        help repeat why what great perfect cool awesome enough pause resume correct exactly right never_mind
        nevermind go_on go_ahead no_thanks no_thank_you yes_please thank_you thank_you_very_much thanks_a_lot
        that's_all that's_it that's_right that's_enough of_course not_now not_yet not_really i_don't_know
        i_do_not_know stop_it stop_talking be_quiet shut_up say_that_again what's_that what_was_that i_see
        got_it good_morning good_night good_evening yes_i_do yes_it_is no_it_isn't yes_i_am no_i'm_not
        no_i_don't me_too please_stop try_again start_over
        """
    ),
    thanks=word_set("thanks bye goodbye"),
    digits=word_set("zero oh one two three four five six seven eight nine double triple"),
    tens=word_set(
        """
        ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty
        forty fifty sixty seventy eighty ninety hundred
        """
    ),
    number_words=word_set(
        """
        number phone telephone cell mobile zip postcode code pin account card extension serial reference
        digits
        """
    ),
    mail_words=word_set("email mail e-mail"),
    at_signs=word_set("at"),
    dots=word_set("dot underscore dash hyphen"),
    spelling_words=word_set("spelled spelt spell letters letter spelling"),
    address_words=word_set("live address deliver located reside"),
    backchannels=word_set(
        """
        uh huh uh-huh mm mmm mhm mm-hmm mmhmm hmm hm hum um ah aha oh ooh okay ok right yeah yes yep yup
        ya sure true really wow nice cool great good alright interesting exactly indeed absolutely
        totally perfect fine lovely amazing gotcha
        """
    )
    | word_set(
        """
        i_see got_it of_course all_right that's_right makes_sense no_way oh_my sounds_good i_know
        fair_enough
        """
    ),
    assents=word_set(
        """
        okay ok right yeah yes yep yup sure alright exactly absolutely perfect fine of_course
        sounds_good
        """
    ),
)

_ES = Vocabulary(
    fillers=word_set("eh em este pues mmm ehm"),
    determiners=word_set(
        """
        el la los las un una unos unas mi mis tu tus su sus nuestro nuestra cada muy al del
        """
    ),
    conjunctions=word_set("y e o u pero porque aunque si que ni sino cuando como mientras"),
    prepositions=word_set("a de en con por para sin sobre entre hasta desde hacia según"),
    copulas=word_set("es son era está están será"),
    pronouns=word_set("él ella ello eso esto quién qué"),
    question_words=word_set("qué cuál cuándo dónde quién cómo cuánto cuánta cuántos cuántas"),
    open_phrases=_phrases(
        """
        me_puedes_decir puedes_decirme me_gustaría quiero quisiera necesito por_ejemplo es_decir o_sea
        """
    ),
    whole_turns=word_set(
        """
        sí no vale claro para gracias hola adiós basta espera_no muchas_gracias sí_por_favor no_gracias
        ayuda
        """
    ),
    thanks=word_set("gracias adiós"),
    digits=word_set("cero uno dos tres cuatro cinco seis siete ocho nueve"),
    tens=word_set(
        """
        diez once doce veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa
        """
    ),
    number_words=word_set("número teléfono código cuenta tarjeta móvil"),
    mail_words=word_set("correo email"),
    at_signs=word_set("arroba"),
    dots=word_set("punto guion"),
    address_words=word_set("vivo dirección"),
    backchannels=word_set(
        """
        ajá mm mmm mhm ah oh sí claro vale bien ya bueno entiendo perfecto exacto wow ok okay de_acuerdo
        """
    ),
    assents=word_set("sí claro vale bueno perfecto exacto ok okay de_acuerdo"),
)

_FR = Vocabulary(
    fillers=word_set("euh ben bah hum heu"),
    determiners=word_set(
        """
        le la les l un une des du de mon ma mes ton ta tes son sa ses notre votre leur très chaque au
        aux
        """
    ),
    conjunctions=word_set("et ou mais parce que car si donc puisque lorsque ni quand comme"),
    prepositions=word_set(
        """
        à en dans avec pour par sans sur sous entre vers chez depuis pendant jusqu'à d'un d'une
        """
    ),
    copulas=word_set("est sont était sera c'est"),
    pronouns=word_set("il elle ça ce cela qui"),
    question_words=word_set("que quoi quel quelle quand où qui comment combien pourquoi"),
    open_phrases=_phrases(
        """
        est_ce_que peux_tu pouvez_vous je_voudrais je_veux j'aimerais par_exemple c'est_à_dire il_y_a
        """
    ),
    whole_turns=word_set(
        """
        oui non d'accord stop arrête arrêtez merci bonjour salut au_revoir merci_beaucoup non_merci
        oui_merci aide
        """
    ),
    thanks=word_set("merci"),
    digits=word_set("zéro un deux trois quatre cinq six sept huit neuf"),
    tens=word_set("dix onze douze vingt trente quarante cinquante soixante"),
    number_words=word_set("numéro téléphone code compte carte portable"),
    mail_words=word_set("mail email courriel"),
    at_signs=word_set("arobase"),
    dots=word_set("point tiret"),
    address_words=word_set("habite adresse"),
    backchannels=word_set(
        """
        mm mmm mhm hum ah oh oui ouais d'accord ok okay bien voilà exact exactement bon je_vois ah_bon
        super
        """
    ),
    assents=word_set("oui ouais d'accord ok okay exact exactement bien voilà"),
)

_DE = Vocabulary(
    fillers=word_set("äh ähm öh hm hmm ehm tja"),
    determiners=word_set(
        """
        der die das den dem des ein eine einen einem einer mein meine meinen dein deine sein seine unser
        sehr jeder
        """
    ),
    conjunctions=word_set("und oder aber weil wenn dass ob denn sondern obwohl damit bevor als"),
    prepositions=word_set(
        """
        in im auf mit für von vom zu zum zur bei nach aus über unter zwischen ohne gegen um seit wegen
        """
    ),
    copulas=word_set("ist sind war waren wird"),
    pronouns=word_set("er sie es das was wer"),
    question_words=word_set("was wer wie wo wann warum welche welcher welches wieviel"),
    open_phrases=_phrases(
        """
        kannst_du können_sie ich_möchte ich_hätte_gern ich_will ich_brauche zum_beispiel das_heißt
        könntest_du
        """
    ),
    whole_turns=word_set(
        """
        ja nein doch okay stopp stop halt danke hallo tschüss genau weiter ja_bitte nein_danke
        vielen_dank hilfe
        """
    ),
    thanks=word_set("danke tschüss"),
    digits=word_set("null eins zwei zwo drei vier fünf sechs sieben acht neun"),
    tens=word_set(
        """
        zehn elf zwölf zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig
        """
    ),
    number_words=word_set(
        """
        nummer telefonnummer handynummer bestellnummer postleitzahl kontonummer code pin
        """
    ),
    mail_words=word_set("mail email e-mail-adresse"),
    at_signs=word_set("at ät"),
    dots=word_set("punkt bindestrich unterstrich"),
    address_words=word_set("wohne adresse"),
    backchannels=word_set(
        """
        mm mmm mhm hm aha ah oh ja okay ok genau richtig stimmt gut klar ach_so verstehe ich_verstehe
        alles_klar super
        """
    ),
    assents=word_set("ja okay ok genau richtig stimmt gut klar alles_klar"),
)

_IT = Vocabulary(
    fillers=word_set("ehm eh uhm allora cioè mmm"),
    determiners=word_set(
        """
        il lo la i gli le un uno una mio mia tuo tua suo sua nostro ogni molto del della al alla dei nel
        nella l
        """
    ),
    conjunctions=word_set("e o ma perché se che anche quando mentre né come"),
    prepositions=word_set("a di da in con su per tra fra senza verso fino"),
    copulas=word_set("è sono era sarà"),
    pronouns=word_set("lui lei esso questo quello chi cosa"),
    question_words=word_set("che cosa chi quando dove come quanto quale perché"),
    open_phrases=_phrases("puoi_dirmi mi_puoi_dire vorrei voglio ho_bisogno per_esempio cioè"),
    whole_turns=word_set(
        """
        sì no va_bene certo stop fermo basta grazie ciao aiuto arrivederci grazie_mille no_grazie
        sì_grazie
        """
    ),
    thanks=word_set("grazie ciao arrivederci"),
    digits=word_set("zero uno due tre quattro cinque sei sette otto nove"),
    tens=word_set(
        """
        dieci undici dodici venti trenta quaranta cinquanta sessanta settanta ottanta novanta
        """
    ),
    number_words=word_set("numero telefono codice conto carta cellulare"),
    mail_words=word_set("mail email posta"),
    at_signs=word_set("chiocciola"),
    dots=word_set("punto trattino"),
    address_words=word_set("abito indirizzo"),
    backchannels=word_set(
        """
        mm mmm mhm ah oh eh sì certo ok okay bene capito esatto va_bene giusto davvero perfetto
        """
    ),
    assents=word_set("sì certo ok okay bene esatto va_bene giusto perfetto"),
)

_PT = Vocabulary(
    fillers=word_set("é hum ah ahn hã tipo"),
    determiners=word_set(
        """
        o a os as um uma meu minha teu tua seu sua nosso cada muito do da no na ao à dos das
        """
    ),
    conjunctions=word_set("e ou mas porque se que nem quando como enquanto embora"),
    prepositions=word_set("de em com por para pra sem sobre entre até desde"),
    copulas=word_set("são era está será"),
    pronouns=word_set("ele ela isso isto quem"),
    question_words=word_set("que qual quando onde quem como quanto quantos"),
    open_phrases=_phrases(
        """
        você_pode pode_me_dizer eu_gostaria gostaria_de eu_quero eu_preciso por_exemplo quer_dizer
        """
    ),
    whole_turns=word_set(
        """
        sim não tá claro pare para chega obrigado obrigada olá oi tchau ajuda não_obrigado
        muito_obrigado
        """
    ),
    thanks=word_set("obrigado obrigada tchau"),
    digits=word_set("zero um dois três quatro cinco seis meia sete oito nove"),
    tens=word_set(
        """
        dez onze doze vinte trinta quarenta cinquenta sessenta setenta oitenta noventa
        """
    ),
    number_words=word_set("número telefone código conta cartão celular cep"),
    mail_words=word_set("email e-mail"),
    at_signs=word_set("arroba"),
    dots=word_set("ponto hífen"),
    address_words=word_set("moro endereço"),
    backchannels=word_set(
        """
        mm mmm mhm ah oh aham uhum sim claro tá certo ok okay isso entendi legal bom está_bem tá_bom
        """
    ),
    assents=word_set("sim claro tá certo ok okay isso está_bem tá_bom"),
)

_HI = Vocabulary(
    fillers=word_set("उम अम्म हम्म तो"),
    determiners=word_set("मेरा मेरी मेरे आपका आपकी तुम्हारा उसका उसकी हर एक बहुत"),
    conjunctions=word_set("और या लेकिन मगर क्योंकि अगर कि जब"),
    prepositions=word_set("का की के को में पर से"),
    question_words=word_set("क्या कब कहाँ कहां कौन कैसे कितना कितने क्यों"),
    open_phrases=_phrases("क्या_आप मुझे_बताओ मैं_चाहता_हूँ"),
    whole_turns=word_set(
        """
        हाँ हां नहीं ठीक रुको बस धन्यवाद नमस्ते ठीक_है जी_हाँ जी_नहीं शुक्रिया मदद
        """
    ),
    thanks=word_set("धन्यवाद शुक्रिया"),
    digits=word_set("शून्य एक दो तीन चार पाँच पांच छह छः सात आठ नौ"),
    number_words=word_set("नंबर फ़ोन फोन कोड खाता"),
    backchannels=word_set("हाँ हां हम्म अच्छा जी ठीक सही ठीक_है अरे वाह ओह ओके"),
    assents=word_set("हाँ हां जी ठीक सही ठीक_है ओके"),
)

_BY_LANGUAGE = {"en": _EN, "es": _ES, "fr": _FR, "de": _DE, "it": _IT, "pt": _PT, "hi": _HI}

LANGUAGES = tuple(_BY_LANGUAGE)
"""ISO 639-1 codes that have words here."""


@cache
def vocabulary_of(language: str) -> Vocabulary:
    """The words of a language (ISO 639-1). English when it is not known yet; nothing for a language without
    words here, so that punctuation and sound decide."""
    code = language.lower().split("-")[0]
    return _EN if code in ("", "auto") else _BY_LANGUAGE.get(code, Vocabulary())
