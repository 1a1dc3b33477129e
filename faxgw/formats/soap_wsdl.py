"""The description of the SOAP interface (WSDL 1.1, document/literal), written by us from its public facts. Pure.

The vendor's own description is not public; element names and namespace are (docs/soap.md). Children are unqualified.
"""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from faxgw.formats.soap import NAMESPACE, Operation

_TYPES = """
      <xs:complexType name="Credentials">
        <xs:sequence>
          <xs:element name="username" type="xs:string"/>
          <xs:element name="password" type="xs:string"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="ReportMail">
        <xs:sequence>
          <xs:element name="successAddress" type="xs:string" minOccurs="0"/>
          <xs:element name="failureAddress" type="xs:string" minOccurs="0"/>
          <xs:element name="attachedFaxImageMode" minOccurs="0">
            <xs:simpleType><xs:restriction base="xs:string">
              <xs:enumeration value="NEVER"/><xs:enumeration value="SUCCESS_ONLY"/>
              <xs:enumeration value="FAILURE_ONLY"/><xs:enumeration value="ALWAYS"/>
            </xs:restriction></xs:simpleType>
          </xs:element>
          <xs:element name="attachedFaxImageFormat" minOccurs="0">
            <xs:simpleType><xs:restriction base="xs:string">
              <xs:enumeration value="TIFF"/><xs:enumeration value="PDF"/><xs:enumeration value="PDF_WITH_OCR"/>
            </xs:restriction></xs:simpleType>
          </xs:element>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="HttpStatusPush">
        <xs:sequence>
          <xs:element name="url" type="xs:string"/>
          <xs:element name="principal" type="xs:string" minOccurs="0"/>
          <xs:element name="credentials" type="xs:string" minOccurs="0"/>
          <xs:element name="authMethod" minOccurs="0">
            <xs:simpleType><xs:restriction base="xs:string">
              <xs:enumeration value="NONE"/><xs:enumeration value="HTTP_BASIC"/>
              <xs:enumeration value="HTTP_DIGEST"/><xs:enumeration value="OAUTH2"/>
            </xs:restriction></xs:simpleType>
          </xs:element>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="Property">
        <xs:sequence>
          <xs:element name="key" type="xs:string"/>
          <xs:element name="value" type="xs:string"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="FaxRecipient">
        <xs:sequence>
          <xs:element name="number" type="xs:string"/>
          <xs:element name="alternativeNumber" type="xs:string" minOccurs="0" maxOccurs="5"/>
          <xs:element name="property" type="t:Property" minOccurs="0" maxOccurs="200"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="DocumentWithData">
        <xs:sequence>
          <xs:element name="name" type="xs:string"/>
          <xs:element name="isText" type="xs:boolean" minOccurs="0"/>
          <xs:element name="charset" type="xs:string" minOccurs="0"/>
          <xs:element name="data" type="xs:base64Binary" minOccurs="0"/>
          <xs:element name="reference" type="xs:anyURI" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="Document">
        <xs:sequence>
          <xs:element name="name" type="xs:string"/>
          <xs:element name="isText" type="xs:boolean"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="Overlay">
        <xs:sequence>
          <xs:element name="name" type="xs:string"/>
          <xs:element name="mode" type="xs:string"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="Options">
        <xs:sequence>
          <xs:element name="resolution" minOccurs="0">
            <xs:simpleType><xs:restriction base="xs:string">
              <xs:enumeration value="HIGH"/><xs:enumeration value="LOW"/>
            </xs:restriction></xs:simpleType>
          </xs:element>
          <xs:element name="csid" type="xs:string" minOccurs="0"/>
          <xs:element name="header" type="xs:string" minOccurs="0"/>
          <xs:element name="isBlacklistEnabled" type="xs:boolean" minOccurs="0"/>
          <xs:element name="isExpress" type="xs:boolean" minOccurs="0"/>
          <xs:element name="overlay" type="t:Overlay" minOccurs="0"/>
          <xs:element name="coverpageTemplateName" type="xs:string" minOccurs="0"/>
          <xs:element name="scheduleTS" type="xs:dateTime" minOccurs="0"/>
          <xs:element name="jobExpireyMinutes" type="xs:positiveInteger" minOccurs="0"/>
          <xs:element name="jobReference" type="xs:string" minOccurs="0"/>
          <xs:element name="billingCode" type="xs:string" minOccurs="0"/>
          <xs:element name="billingInfo" type="xs:string" minOccurs="0"/>
          <xs:element name="paperFormat" type="xs:string" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="FaxRecipientWithStatus">
        <xs:sequence>
          <xs:element name="number" type="xs:string"/>
          <xs:element name="property" type="t:Property" minOccurs="0" maxOccurs="unbounded"/>
          <xs:element name="numId" type="xs:string"/>
          <xs:element name="status" type="xs:string"/>
          <xs:element name="reason" type="xs:string"/>
          <xs:element name="sentTS" type="xs:dateTime" minOccurs="0"/>
          <xs:element name="durationInSecs" type="xs:int"/>
          <xs:element name="sentToNumber" type="xs:string"/>
          <xs:element name="remoteCsid" type="xs:string"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="FaxJobReport">
        <xs:sequence>
          <xs:element name="jobId" type="xs:string"/>
          <xs:element name="reportMail" type="t:ReportMail" minOccurs="0"/>
          <xs:element name="httpStatusPush" type="t:HttpStatusPush" minOccurs="0"/>
          <xs:element name="faxRecipient" type="t:FaxRecipientWithStatus" maxOccurs="unbounded"/>
          <xs:element name="document" type="t:Document" minOccurs="0" maxOccurs="unbounded"/>
          <xs:element name="options" type="t:Options" minOccurs="0"/>
          <xs:element name="pages" type="xs:int" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="AvailableReport">
        <xs:sequence>
          <xs:element name="jobId" type="xs:string"/>
          <xs:element name="createdTS" type="xs:dateTime"/>
          <xs:element name="finishedTS" type="xs:dateTime" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
      <xs:complexType name="DeletedReport">
        <xs:sequence>
          <xs:element name="jobId" type="xs:string"/>
          <xs:element name="deleted" type="xs:boolean"/>
          <xs:element name="reason" type="xs:string" minOccurs="0"/>
        </xs:sequence>
      </xs:complexType>
      <xs:element name="JobRequest"><xs:complexType><xs:complexContent><xs:extension base="t:Credentials">
        <xs:sequence>
          <xs:element name="reportMail" type="t:ReportMail" minOccurs="0"/>
          <xs:element name="httpStatusPush" type="t:HttpStatusPush" minOccurs="0"/>
          <xs:element name="faxRecipient" type="t:FaxRecipient" maxOccurs="unbounded"/>
          <xs:element name="document" type="t:DocumentWithData" minOccurs="0" maxOccurs="100"/>
          <xs:element name="options" type="t:Options" minOccurs="0"/>
        </xs:sequence>
      </xs:extension></xs:complexContent></xs:complexType></xs:element>
      <xs:element name="JobResponse"><xs:complexType><xs:sequence>
        <xs:element name="jobId" type="xs:string"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name="ReportRequest"><xs:complexType><xs:complexContent><xs:extension base="t:Credentials">
        <xs:sequence><xs:element name="jobId" type="xs:string" maxOccurs="1000"/></xs:sequence>
      </xs:extension></xs:complexContent></xs:complexType></xs:element>
      <xs:element name="ReportResponse"><xs:complexType><xs:sequence>
        <xs:element name="faxJobReport" type="t:FaxJobReport" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name="AvailableReportsRequest" type="t:Credentials"/>
      <xs:element name="AvailableReportsResponse"><xs:complexType><xs:sequence>
        <xs:element name="availableReport" type="t:AvailableReport" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name="DeleteReportRequest"><xs:complexType><xs:complexContent><xs:extension base="t:Credentials">
        <xs:sequence><xs:element name="jobId" type="xs:string"/></xs:sequence>
      </xs:extension></xs:complexContent></xs:complexType></xs:element>
      <xs:element name="DeleteReportResponse" type="t:DeletedReport"/>
      <xs:element name="DeleteReportsRequest"><xs:complexType><xs:complexContent><xs:extension base="t:Credentials">
        <xs:sequence><xs:element name="jobId" type="xs:string" maxOccurs="1000"/></xs:sequence>
      </xs:extension></xs:complexContent></xs:complexType></xs:element>
      <xs:element name="DeleteReportsResponse"><xs:complexType><xs:sequence>
        <xs:element name="deleteReport" type="t:DeletedReport" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name="FaxFault"><xs:complexType><xs:sequence>
        <xs:element name="code" type="xs:string"/>
        <xs:element name="param" type="xs:string" minOccurs="0"/>
        <xs:element name="text" type="xs:string"/>
      </xs:sequence></xs:complexType></xs:element>
"""
_ELEMENTS = {
    Operation.SEND: "Job",
    Operation.REPORTS: "Report",
    Operation.LIST: "AvailableReports",
    Operation.DELETE: "DeleteReport",
    Operation.DELETE_ALL: "DeleteReports",
}
"""Operation → what its elements are called before `Request` and `Response`."""


def wsdl(location: str) -> str:
    """The description.

    Args:
        location: URL that requests are sent to.
    """
    messages = "".join(
        f'  <w:message name="{name}{way}"><w:part name="body" element="t:{name}{way}"/></w:message>\n'
        for name in _ELEMENTS.values()
        for way in ("Request", "Response")
    )
    operations = "".join(
        f'    <w:operation name="{operation.value}">\n'
        f'      <w:input message="t:{name}Request"/><w:output message="t:{name}Response"/>\n'
        '      <w:fault name="FaxFault" message="t:FaxFault"/>\n    </w:operation>\n'
        for operation, name in _ELEMENTS.items()
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<w:definitions name="Faxolution" targetNamespace="{NAMESPACE}" xmlns:t="{NAMESPACE}"
  xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:s12="http://schemas.xmlsoap.org/wsdl/soap12/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <w:types>
    <xs:schema targetNamespace="{NAMESPACE}" elementFormDefault="unqualified">{_TYPES}    </xs:schema>
  </w:types>
{messages}  <w:message name="FaxFault"><w:part name="fault" element="t:FaxFault"/></w:message>
  <w:portType name="Faxolution">
{operations}  </w:portType>
{_binding("Soap11", "s")}{_binding("Soap12", "s12")}  <w:service name="FaxolutionService">
    <w:port name="Soap11" binding="t:Soap11"><s:address location={quoteattr(location)}/></w:port>
    <w:port name="Soap12" binding="t:Soap12"><s12:address location={quoteattr(location)}/></w:port>
  </w:service>
</w:definitions>
"""


def _binding(name: str, prefix: str) -> str:
    operations = "".join(
        f'    <w:operation name="{operation.value}"><{prefix}:operation soapAction=""/>'
        f'<w:input><{prefix}:body use="literal"/></w:input><w:output><{prefix}:body use="literal"/></w:output>'
        f'<w:fault name="FaxFault"><{prefix}:fault name="FaxFault" use="literal"/></w:fault></w:operation>\n'
        for operation in _ELEMENTS
    )
    transport = f'<{prefix}:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>'
    return f'  <w:binding name="{name}" type="t:Faxolution">{transport}\n{operations}  </w:binding>\n'
