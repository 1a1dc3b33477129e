"""What the documents of the gallery say."""

from __future__ import annotations

ADDRESS = ("Mr Henrik Kallio", "Kallio Shipping Ltd", "3 Harbour Street", "Dover CT17 9BU")
LETTER = (
    "Dear Mr Kallio,",
    "Thank you for your letter of 9 November. We have now heard from the landlord's agents, who accept that the "
    "repairs to the east window fall within the landlord's covenant under clause 4(2)(b) of the lease, and who "
    "propose to have the works carried out in the first week of January.",
    "They ask that access be given between 8 a.m. and 5 p.m. on two working days, and that the goods stored beneath "
    "the window be moved beforehand at their expense, which they put at £340. We think the figure low: the quotation "
    "that you obtained from Messrs Tarrant was £515 excluding VAT, and we should be glad of a copy to send to them.",
    "As to the rent review, the time limit for your counter-notice is Friday 18 December. We enclose a draft for your "
    "approval; please sign and return it by fax so that it reaches us not later than the 14th. The original should "
    "follow by post.",
    "Please note that this office is closed from 24 December to 1 January inclusive.",
    "Yours sincerely,",
)
ITEMS = (
    ("Mooring rope 24 mm, 110 m coil", 4, 286.5),
    ("Fender, cylindrical, 300 × 800", 12, 74.9),
    ("Deck paint, grey, 20 l", 6, 118.0),
    ("Shackle, galvanised, 13 mm", 40, 3.85),
    ("Signal lamp, LED, 24 V", 3, 142.25),
    ("Lifebuoy with line, 30 m", 5, 64.0),
    ("Oilskin jacket, size L", 8, 59.5),
    ("First aid kit, category B", 2, 93.4),
    ("Delivery to quay", 1, 45.0),
)
SMALL_PRINT = (
    "Goods remain our property until paid for in full. Interest is charged on overdue accounts at 8 % above base rate.",
    "Please quote the invoice number with your payment. Account 12345678, sort code 00-00-00.",
)
TOWNS = (
    *("Aberdeen", "Bristol", "Cardiff", "Dover", "Exeter", "Falmouth", "Grimsby", "Harwich"),
    *("Ipswich", "Kirkwall", "Lowestoft", "Milford", "Newhaven", "Oban", "Penzance"),
)
FIELDS = (
    ("Name *", "Rosalind Abernathy"),
    ("Date of birth *", "14 / 03 / 1968"),
    ("Membership number *", "0047 1182 9936"),
    ("Address", "22 Cliff Terrace, Whitby"),
    ("Treatment from – to", "2 Nov – 11 Nov 2026"),
    ("Amount claimed *", "£ 418.70"),
    ("Bank account", "00-11-22   8877 6655"),
    ("Remarks", "please send confirmation by fax"),
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
COSTS = (
    *("Salaries", "Rent", "Heating", "Electricity", "Telephone and fax", "Postage", "Insurance", "Vehicles", "Fuel"),
    *("Repairs", "Cleaning", "Training", "Travel", "Advertising", "Stationery", "Software", "Bank charges", "Sundries"),
)
BULLETS = ("Sales up 9 % on last year", "Two new depots opened", "Returns below 1 %", "Outlook unchanged")
LAB_REPORT = """\
CENTRAL LABORATORY                             Report no.  26-118274
Tel. 0123 456 780   Fax 0123 456 789           Printed     21.11.2026 14:05

Patient    SAMPLE, Jane              born 05.06.1957    female
Sender     Dr. A. Example, Surgery North
Material   serum, EDTA blood         taken 21.11.2026 08:10

Test                      Result     Unit          Reference       Flag
------------------------------------------------------------------------
Haemoglobin               10.9       g/dl          12.0 – 15.6     low
Haematocrit               0.34       l/l           0.35 – 0.45     low
Erythrocytes              4.1        10⁶/µl        3.9 – 5.3
Leucocytes                11.8       10³/µl        3.8 – 10.5      high
Platelets                 268        10³/µl        150 – 400
MCV                       79         fl            80 – 99         low
------------------------------------------------------------------------
Sodium                    139        mmol/l        136 – 145
Potassium                 4.4        mmol/l        3.5 – 5.1
Creatinine                0.81       mg/dl         0.50 – 0.95
eGFR (CKD-EPI)            77         ml/min/1.73m² > 60
Glucose, fasting          104        mg/dl         70 – 99         high
Ferritin                  8          µg/l          15 – 150        low
CRP                       18.3       mg/l          < 5.0           high
TSH                       1.92       mU/l          0.27 – 4.20
25-OH vitamin D           21         ng/ml         30 – 60         low

Comment
  Microcytic anaemia with ferritin below 15 µg/l: iron deficiency is likely.
  Raised CRP: ferritin may be falsely high; please repeat in 4 weeks.

Validated by Dr. B. Specimen. Valid without signature.
"""
MAIL = """\
<html><body style="font-family: Arial, sans-serif; font-size: 11pt; color: #222">
<table width="100%"><tr><td style="background: #004b5f; color: white; padding: 10px; font-size: 16pt">
Harbour Office</td></tr></table>
<p>Dear friends of the harbour,</p>
<p>our <b>open day</b> is on <span style="color: #b00000"><b>Saturday, 5 December</b></span>, from 10 to 16 h.
This is the view from the new pier:</p>
<p><img src="cid:view@example.org" width="420" alt="view"></p>
<ul><li>Tours of the lock at 11 and 14 h</li><li>The lifeboat at quay 3, <i>weather permitting</i></li>
<li>Soup &amp; coffee in shed 7 — please bring a mug</li></ul>
<table border="1" cellpadding="4" style="border-collapse: collapse">
<tr><th>Bus</th><th>from station</th><th>back</th></tr>
<tr><td>12</td><td>9:40, then every 20 min</td><td>until 17:20</td></tr>
<tr><td>12 A</td><td>10:10</td><td>16:30</td></tr></table>
<p>More at <a href="https://example.org/openday">example.org/openday</a>.</p>
<p style="color: #888; font-size: 8pt">You get this mail because you asked for it. Harbour Office, Quay 1.</p>
</body></html>
"""
READ = "«\u00a0Lu et approuvé\u00a0»"
CONTRACT_TITLE = "CONTRAT DE LOCATION À DURÉE DÉTERMINÉE"
CONTRACT = (
    (
        "Entre les soussignés",
        (
            "La société Chênevière &amp; Fils, S.A.R.L. au capital de 15\u00a0000\u00a0€, dont le siège est "
            "8, rue de l’Église, 35400 Saint-Malo, représentée par M. François Lebœuf, gérant, "
            "ci-après «\u00a0le bailleur\u00a0»,",
            "et Mme Aurélie Noël-Garçon, née le 3 août 1981 à Besançon, demeurant 27 bis, boulevard du Maréchal, "
            "21000 Dijon, ci-après «\u00a0le preneur\u00a0», il a été convenu ce qui suit\u00a0:",
        ),
    ),
    (
        "Article premier — Objet",
        (
            "Le bailleur donne à loyer au preneur, qui l’accepte, un local à usage de bureau d’une surface de 64 m² "
            "situé au 2ᵉ étage de l’immeuble sis 8, rue de l’Église, tel qu’il figure au plan annexé.",
        ),
    ),
    (
        "Article 2 — Durée",
        (
            "Le présent contrat est conclu pour une durée de vingt-trois mois à compter du 1ᵉʳ décembre 2026. Il "
            "prendra fin de plein droit, sans qu’il soit besoin d’un congé.",
        ),
    ),
    (
        "Article 3 — Loyer et charges",
        (
            "Le loyer mensuel est fixé à 1\u00a0284,50\u00a0€ hors taxes, payable d’avance, le cinq de chaque mois. "
            "Les charges (eau, chauffage, entretien des parties communes) font l’objet d’une "
            "provision de 136\u00a0€ par mois, "
            "régularisée chaque année au vu des dépenses réelles.",
            "À défaut de paiement à l’échéance, et huit jours après une mise en demeure restée sans effet, le bail "
            "sera résilié si bon semble au bailleur.",
        ),
    ),
    (
        "Article 4 — Dépôt de garantie",
        (
            "Le preneur verse ce jour la somme de 2\u00a0569\u00a0€, qui lui sera restituée dans les deux mois de son "
            "départ.",
        ),
    ),
    (
        "Fait à Saint-Malo, le 21 novembre 2026, en deux exemplaires.",
        (),
    ),
)
RIGHT_TO_LEFT = """\
<!DOCTYPE html><html dir="rtl"><head><meta charset="utf-8"></head>
<body style="font-family: 'DejaVu Sans'; font-size: 13pt">
<h2>אישור הזמנה מספר 4471</h2>
<p>שלום רב, קיבלנו את הזמנתכם מיום 21.11.2026 בפקס ‎+972 3 555 0123. המשלוח יצא ביום ראשון בשעה 9:30.</p>
<table border="1" cellpadding="5" style="border-collapse: collapse; width: 100%">
<tr><th>פריט</th><th>כמות</th><th>מחיר</th></tr>
<tr><td>נייר A4 לבן</td><td>40</td><td>₪ 612.00</td></tr>
<tr><td>טונר Model HX-200</td><td>3</td><td>₪ 954.50</td></tr></table>
<h2 lang="ar">تأكيد الطلب رقم ٤٤٧١</h2>
<p lang="ar">السلام عليكم، وصلنا طلبكم بتاريخ ٢١ نوفمبر ٢٠٢٦ عبر الفاكس ‎+966 11 555 0123. سيتم إرسال البضاعة يوم
الأحد في الساعة ٩:٣٠ صباحًا، ونرجو منكم التوقيع على هذه الصفحة وإعادتها إلى مكتب Example Trading.</p>
<table lang="ar" border="1" cellpadding="5" style="border-collapse: collapse; width: 100%">
<tr><th>الصنف</th><th>الكمية</th><th>السعر</th></tr>
<tr><td>ورق أبيض A4</td><td>٤٠</td><td>٦١٢٫٠٠ ريال</td></tr>
<tr><td>حبر للطابعة HX-200</td><td>٣</td><td>٩٥٤٫٥٠ ريال</td></tr></table>
<p lang="ar">مع أطيب التحيات</p>
</body></html>
"""
_GOODS = (
    ("Apples 1.2 kg", "2.88"),
    ("Bread, rye", "3.20"),
    ("Butter 250 g", "2.49"),
    ("Milk 1 l  x 3", "3.57"),
    ("Cheese 340 g", "5.81"),
    ("Tomatoes", "2.15"),
    ("Onions 2 kg", "1.99"),
    ("Coffee 500 g", "7.95"),
    ("Sugar 1 kg", "1.19"),
    ("Rice 1 kg", "2.29"),
    ("Olive oil 0.5 l", "8.49"),
    ("Mustard", "1.35"),
    ("Eggs x 10", "3.49"),
    ("Soap", "0.95"),
    ("Candles x 6", "4.10"),
    ("Deposit bottles", "-1.25"),
)
RECEIPT = (
    "     Harbour Street 3, Dover",
    "       VAT GB 123 4567 89",
    "",
    "21.11.2026  17:42   till 04",
    "--------------------------------",
    *(line for name, price in _GOODS * 3 for line in (f"{name:22} {price:>9}",)),
    "--------------------------------",
    "TOTAL            GBP      151.95",
    "Card             GBP      151.95",
    "",
    "VAT 20 %  incl.            9.13",
    "",
    "     Thank you, come again!",
)
