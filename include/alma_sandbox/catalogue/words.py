"""Words from which titles of serials are made, in several scripts. All titles are invented."""

LATIN_FIRST = (
    "Annals", "Archives", "Bulletin", "Journal", "Proceedings", "Quarterly review", "Studies", "Transactions",
    "Yearbook", "Zeitschrift", "Revue", "Cuadernos",
)  # fmt: skip
LATIN_SECOND = (
    "alpine botany", "applied hydrology", "coastal engineering", "comparative law", "desert archaeology",
    "folk song", "forest economics", "glacier physics", "inland navigation", "meteorology", "numismatics",
    "orchard science", "paper making", "river history", "soil chemistry", "theatre research", "trade unions",
    "urban geography", "volcanology", "watchmaking",
)  # fmt: skip

# Titles whose characters are more than ASCII: (language code, titles).
SCRIPTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cyrillic": (
        "rus",
        ("Вестник речной гидрологии", "Труды горного ботанического сада", "Журнал лесной экономики"),
    ),
    "cjk": ("chi", ("河流水文學報", "山地植物研究", "古錢幣學季刊 𠮷田版")),
    "japanese": ("jpn", ("河川工学研究年報", "やまの しょくぶつ", "製紙技術ジャーナル")),
    "arabic": ("ara", ("مجلة دراسات الأنهار", "حوليات علم المياه", "نشرة النبات الجبلي")),
    "hebrew": ("heb", ("כתב עת לחקר הנחלים", "רבעון לבוטניקה הררית")),
    # Letters followed by combining marks, as records converted from MARC-8 hold them.
    "combining": (
        "vie",
        ("Ta\u0323p chi\u0301 thu\u0309y va\u0306n", "Rivi\u0301sta d'idrologi\u0301a a\u0308lpina"),
    ),
    "accents": (
        "fre",
        ("Études d'hydrologie appliquée — série générale", "Łódź & Kraków <przegląd> techniczny"),
    ),
}

PLACES = ("Portland, Or. :", "Tucson, Ariz. :", "Laramie, Wyo. :", "Reno, Nev. :", "Helena, Mont. :")
PUBLISHERS = (
    "Society of River Studies,", "Mountain Press,", "Western Academy,", "Institute of Paper,", "Basin House,",
)  # fmt: skip
